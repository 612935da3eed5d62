"""A Hugging Face `config.json` of Gemma 3 as plain fields, and back. No I/O, no other imports."""

from jaxformer.hf_config.parsing import HfConfig, hf_config_json, parse_hf_config

__all__ = ["HfConfig", "hf_config_json", "parse_hf_config"]
