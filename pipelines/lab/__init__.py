"""What training and evaluation of every pipeline share."""
