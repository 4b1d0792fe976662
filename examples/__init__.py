"""Networks trained on data made here, and streamed."""
