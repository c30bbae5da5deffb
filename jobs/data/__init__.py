"""Rows from anywhere, checked, split and tokenized, as a worker is to have them."""
