"""A temporal convolutional network that recognises gestures."""
