"""Several runs compared: what each has reached, and what differs between them."""
