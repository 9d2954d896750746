"""Training on ESPnet's Trainer: the ASR model, only its router, one more language."""
