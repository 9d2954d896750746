"""Training on ESPnet's Trainer: the ASR model, its router alone, one more language."""
