import os


def handler(event, context):
    name = event.get("name", "World")
    print(f"greeting {name} in stage {os.environ['STAGE']}")
    return {"message": f"{os.environ['GREETING']}, {name}!"}
