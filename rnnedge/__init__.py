"""Recurrent and causal PyTorch networks to streaming ONNX, proven equal."""
