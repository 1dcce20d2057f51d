"""Small helps for the templates."""
from django import template
from django.utils.timesince import timesince

register = template.Library()


@register.filter
def initial(name):
    """The letter that stands for a person."""
    return str(name)[:1].upper()


@register.filter
def hue(name):
    """A colour for a person, the same every time."""
    return sum(ord(letter) * 37 for letter in str(name)) % 360


@register.filter
def ago(moment):
    """How long ago, in one unit, as people say it."""
    said = timesince(moment, depth=1)
    return "just now" if said.startswith("0") else f"{said} ago"
