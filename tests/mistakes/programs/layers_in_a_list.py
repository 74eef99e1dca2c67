"""A model is made of a list of layers."""

from volta import nn

layers = [nn.ReLU(), nn.Tanh()]
model = nn.Sequential(layers)  # mistake
