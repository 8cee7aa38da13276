"""The store: where recordings go when they leave the camera, as named objects that are put once and never replaced.

`ports.Store` is the contract, `errors` what may go wrong, `names` what the objects are called. `open.open_store` gives
the store of an address (`address`): a folder (`folder`) or a bucket (`s3/`, which needs the extra `store`). The carrier
on the camera, the custodian and the desk all reach a store through this room, and through nothing else.

Nothing here deletes or overwrites an object: there is no call for it.
"""
