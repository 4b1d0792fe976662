"""Silero's voice activity detector with its published weights."""
