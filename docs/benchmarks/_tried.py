TRIED = "x"
