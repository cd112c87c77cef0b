import platform


def handler(event, context):
    name = event.get("name", "World")
    print(f"greeting {name}")
    return {"message": f"Hello, {name}!", "from": f"Python {platform.python_version()}"}
