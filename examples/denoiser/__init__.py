"""A causal speech denoiser, waveform to waveform."""
