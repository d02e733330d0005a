"""Forms in which a version can be asked without scikit-learn, each proven equal to its model."""
