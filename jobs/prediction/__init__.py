"""What a finished job's model says of new rows, and how good it is on them."""
