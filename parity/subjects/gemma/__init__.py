"""jaxformer, our Gemma 3, against the official package and transformers."""
