"""All that touches the compiled Keras step."""
