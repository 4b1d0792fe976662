"""Results and how they are shown: each has `to_dict`, `to_rich` and `to_line`."""
