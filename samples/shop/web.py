#!/usr/bin/env python3
"""The shop's front: a page for people and /api/page for programs. Calls product and cart."""

import json
import os

from service import Client, serve

PRODUCT = os.environ.get("PRODUCT", "http://product:9000")
CART = os.environ.get("CART", "http://cart:9000")
client = Client()


def gather(path):
    """What a visitor sees: one product with its price, and the visitor's cart."""
    number = path.rsplit("/", 1)[-1]
    number = number if number.isdigit() else "1"
    product = json.loads(client.get(f"{PRODUCT}/product/{number}"))
    cart = json.loads(client.get(f"{CART}/cart/ada"))
    return {"product": product, "cart": cart, "version": product["version"]}


def page(path, body):
    seen = gather(path)
    product, cart = seen["product"], seen["cart"]
    rows = "".join(f"<li>{line['count']} &times; {line['name']}</li>" for line in cart["lines"])
    return (
        "<!doctype html><meta charset=utf-8><title>Shop</title>"
        "<style>body{font:16px/1.5 system-ui;margin:3rem auto;max-width:34rem}</style>"
        f"<h1>{product['name']}</h1><p>{product['price']} &euro;, {product['stock']} in stock "
        f"<small>(product {product['version']})</small></p><h2>Your cart</h2><ul>{rows}</ul>"
    ).encode()


serve({("GET", "/"): page, ("GET", "/product"): page, ("GET", "/api"): lambda path, body: gather(path)})
