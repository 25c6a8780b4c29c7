from . import helper

helper.no_such_attribute()
