"""What every room needs: arrays, random states, devices, memory, private names."""
