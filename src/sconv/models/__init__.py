"""Models: one module an architecture, each with `build(input_shape, classes, ...) -> keras.Model`.

Every model takes raw images, scales them itself and is made of stock Keras layers: a saved file needs no sconv.
"""
