"""advscope: train natural and adversarially trained classifiers, and explain what adversarial perturbations do."""

__version__ = "0.1.0"
