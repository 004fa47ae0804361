"""The transformers and the codec.

Arrays of known rank carry their axes as a suffix, with the letters of the einsums:
**B** batch · **T** positions in this call (frames, for codes) · **P** prompt positions ·
**M** cache slots · **D** width · **H** heads · **K** head size · **F** MLP width ·
**V** vocabulary · **Q** codebooks · **L** latent channels · **S** audio samples.

Outside the modules, parameters are one plain nested dict, `params["h"]["0"]["attn"]…`, with the
checkpoints' own names; `bind` is the one place where dict and module meet.
"""
