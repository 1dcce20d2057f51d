"""Small helps for the templates."""
from django import template

register = template.Library()


@register.filter
def initial(name):
    """The letter that stands for a person."""
    return str(name)[:1].upper()


@register.filter
def hue(name):
    """A colour for a person, the same every time."""
    return sum(ord(letter) * 37 for letter in str(name)) % 360
