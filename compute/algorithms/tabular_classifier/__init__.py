"""A multilayer perceptron that classifies the rows of a table; `tabular/` travels, `model.py` is the buyer's side."""
