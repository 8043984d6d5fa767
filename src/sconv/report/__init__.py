"""Many runs, one comparison: statistics, a table, pictures, a page. Imports neither Keras nor TensorFlow."""
