python3 -m pip install .        # in the checkout of mobie
mobie convert nano model
mobie verify model
