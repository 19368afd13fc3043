"""Computed traits: what people do, turned into traits of them."""
