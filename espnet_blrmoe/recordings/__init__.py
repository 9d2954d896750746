"""Reading recordings, and resampling them, for stage 3 of the recipe and every other program. Loads no PyTorch.

No length is trusted: what a file announces is held against what is in it. So a file is read whole, or refused with the
reason (`unusable`). `recording` is what others use; `ogg`, `mpeg`, `flac`, `chunks` and `nist` look at the containers,
soundfile decodes. `names` loads neither NumPy nor soundfile, for programs that only handle tables of audio.
"""
