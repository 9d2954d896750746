"""The network: routing of a batch, routers, experts, blocks, encoder, and ESPnet's ASR model with the LID loss."""
