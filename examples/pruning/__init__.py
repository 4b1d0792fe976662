"""From a large recurrent network to a small one: hidden units taken out, with the loss shown."""
