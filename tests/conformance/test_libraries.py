"""Libraries that people use in functions, unmodified: from layers, in Python and Node.js."""

import io
import json
import os
import pathlib
import zipfile

import pytest

from harness import packages

#: An event of an HTTP API, payload format 2.0, as API Gateway sends it.
HTTP_EVENT = {
    "version": "2.0",
    "routeKey": "$default",
    "rawPath": "/items/ü 7",
    "rawQueryString": "q=a%20b&q=c",
    "cookies": ["one=1"],
    "headers": {"host": "api.example.com", "content-type": "application/json", "accept": "*/*"},
    "queryStringParameters": {"q": "a b,c"},
    "requestContext": {
        "accountId": "123456789012",
        "apiId": "api",
        "domainName": "api.example.com",
        "domainPrefix": "api",
        "http": {
            "method": "POST",
            "path": "/items/ü 7",
            "protocol": "HTTP/1.1",
            "sourceIp": "192.0.2.1",
            "userAgent": "test",
        },
        "requestId": "id",
        "routeKey": "$default",
        "stage": "$default",
        "time": "12/Mar/2020:19:03:58 +0000",
        "timeEpoch": 1583348638390,
    },
    "body": '{"name": "thing", "price": 1.5}',
    "isBase64Encoded": False,
}


def libraries(variable: str, place: str) -> bytes:
    """A layer of installed libraries at ``place``."""
    folder = os.environ.get(variable)
    if not folder:
        raise RuntimeError(f"{variable} must name a folder; `cargo xtask test` makes it")
    root, buffer = pathlib.Path(folder), io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(root.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                archive.write(file, f"{place}/{file.relative_to(root)}")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def python_libraries(shared_lambda):
    """A layer of Python libraries."""
    content = {"ZipFile": libraries("LAMBD_PYTHON_LIBRARIES", "python")}
    return shared_lambda.publish_layer_version(LayerName="python-libraries", Content=content)["LayerVersionArn"]


@pytest.fixture(scope="module")
def node_libraries(shared_lambda):
    """A layer of Node.js libraries."""
    content = {"ZipFile": libraries("LAMBD_NODE_LIBRARIES", "nodejs/node_modules")}
    return shared_lambda.publish_layer_version(LayerName="node-libraries", Content=content)["LayerVersionArn"]


def records(log: str) -> list:
    """The JSON objects of a log."""
    return [json.loads(line) for line in log.splitlines() if line.startswith("{")]


def test_fastapi_with_mangum(functions, python_libraries, name):
    """A web application behind an HTTP API: path, query, body, validation, cookies and binary content."""
    source = """from fastapi import FastAPI, Request, Response
from mangum import Mangum
from pydantic import BaseModel

app = FastAPI()

class Item(BaseModel):
    name: str
    price: float

@app.post("/items/{item_id}")
async def create(item_id: str, item: Item, request: Request, response: Response):
    response.set_cookie("seen", "yes")
    context = request.scope["aws.context"]
    return {"id": item_id, "item": item.model_dump(), "q": request.query_params.getlist("q"),
            "cookie": request.cookies.get("one"), "function": context.function_name}

@app.get("/image")
async def image():
    return Response(bytes(range(256)), media_type="image/png")

handler = Mangum(app)
"""
    functions.python(name, source, Layers=[python_libraries], Timeout=30, MemorySize=512)
    answer = functions.invoke(name, HTTP_EVENT).good()
    assert answer["statusCode"] == 200 and answer["cookies"] == ["seen=yes; Path=/; SameSite=lax"]
    assert json.loads(answer["body"]) == {
        "id": "ü 7", "item": {"name": "thing", "price": 1.5}, "q": ["a b", "c"], "cookie": "1", "function": name
    }
    invalid = functions.invoke(name, {**HTTP_EVENT, "body": '{"name": "thing"}'}).good()
    assert invalid["statusCode"] == 422 and "Field required" in invalid["body"]
    get = {**HTTP_EVENT["requestContext"], "http": {**HTTP_EVENT["requestContext"]["http"], "method": "GET", "path": "/image"}}
    image = functions.invoke(name, {**HTTP_EVENT, "rawPath": "/image", "body": None, "requestContext": get}).good()
    assert image["isBase64Encoded"] is True and image["headers"]["content-type"] == "image/png"


@pytest.mark.parametrize("log_format", ["Text", "JSON"])
def test_powertools_for_python(functions, python_libraries, name, log_format):
    """Logger with the context and a correlation id, metrics in EMF, cold starts, typed events and routing."""
    source = """from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.logging import correlation_paths
from aws_lambda_powertools.metrics import MetricUnit

logger, metrics, app = Logger(), Metrics(namespace="Shop"), APIGatewayHttpResolver()

@app.post("/items/<item>")
def create(item: str):
    logger.info("created", extra={"item": item})
    metrics.add_metric(name="Created", unit=MetricUnit.Count, value=1)
    return {"item": item, "price": app.current_event.json_body["price"]}

@logger.inject_lambda_context(correlation_id_path=correlation_paths.API_GATEWAY_HTTP)
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event, context):
    return app.resolve(event, context)
"""
    functions.python(
        name, source, Layers=[python_libraries], Timeout=30, MemorySize=512,
        Environment={"Variables": {"POWERTOOLS_SERVICE_NAME": "shop"}},
        LoggingConfig={"LogFormat": log_format},
    )
    event = {**HTTP_EVENT, "rawPath": "/items/7"}
    cold = functions.invoke(name, event)
    assert json.loads(cold.good()["body"]) == {"item": "7", "price": 1.5}
    created = next(record for record in records(cold.log) if record.get("message") == "created")
    assert (created["item"], created["service"], created["level"]) == ("7", "shop", "INFO")
    assert (created["function_request_id"], created["correlation_id"]) == (cold.request_id, "id")
    assert (created["cold_start"], created["function_name"], created["function_memory_size"]) == (True, name, "512")
    metric = next(record for record in records(cold.log) if "Created" in record)
    assert metric["_aws"]["CloudWatchMetrics"][0]["Namespace"] == "Shop"
    assert any("ColdStart" in record for record in records(cold.log))
    warm = functions.invoke(name, event)
    assert not any("ColdStart" in record for record in records(warm.log))


def test_express_with_serverless_http(functions, node_libraries, name):
    """A web application behind an HTTP API, in Node.js."""
    source = """const express = require('express');
const serverless = require('serverless-http');
const app = express();
app.use(express.json());
app.post('/items/:id', (request, response) => {
  response.cookie('seen', 'yes').json({ id: request.params.id, q: request.query.q, body: request.body });
});
app.get('/fail', () => { throw new Error('on purpose'); });
exports.handler = serverless(app);
"""
    functions.node(name, source, Layers=[node_libraries], Timeout=30, MemorySize=512)
    answer = functions.invoke(name, {**HTTP_EVENT, "rawPath": "/items/7"}).good()
    assert answer["statusCode"] == 200 and answer["headers"]["set-cookie"] == "seen=yes; Path=/"
    assert json.loads(answer["body"]) == {"id": "7", "q": ["a b", "c"], "body": {"name": "thing", "price": 1.5}}
    get = {**HTTP_EVENT["requestContext"], "http": {**HTTP_EVENT["requestContext"]["http"], "method": "GET", "path": "/fail"}}
    failed = functions.invoke(name, {**HTTP_EVENT, "rawPath": "/fail", "body": None, "requestContext": get})
    assert failed.good()["statusCode"] == 500


@pytest.mark.parametrize("log_format", ["Text", "JSON"])
def test_powertools_for_typescript(functions, node_libraries, name, log_format):
    """Logger and metrics, which write to the log past `console`, and past its levels."""
    source = """const { Logger } = require('@aws-lambda-powertools/logger');
const { Metrics, MetricUnit } = require('@aws-lambda-powertools/metrics');
const logger = new Logger({ serviceName: 'shop' });
const metrics = new Metrics({ namespace: 'Shop', serviceName: 'shop' });
exports.handler = async (event, context) => {
  logger.addContext(context);
  metrics.setFunctionName(context.functionName);
  metrics.captureColdStartMetric();
  logger.info('created', { item: event.item });
  logger.debug('hidden');
  try { throw new TypeError('bad'); } catch (error) { logger.error('failed', error); }
  metrics.addMetric('Created', MetricUnit.Count, 1);
  metrics.publishStoredMetrics();
  return event.item;
};
"""
    functions.node(
        name, source, Layers=[node_libraries], Timeout=30, MemorySize=512, LoggingConfig={"LogFormat": log_format}
    )
    cold = functions.invoke(name, {"item": 7})
    assert cold.good() == 7
    created = next(record for record in records(cold.log) if record.get("message") == "created")
    assert (created["item"], created["service"], created["level"]) == (7, "shop", "INFO")
    assert (created["function_request_id"], created["cold_start"]) == (cold.request_id, True)
    failed = next(record for record in records(cold.log) if record.get("message") == "failed")
    assert (failed["error"]["name"], failed["error"]["message"]) == ("TypeError", "bad")
    assert not any(record.get("message") == "hidden" for record in records(cold.log))
    assert any("Created" in record for record in records(cold.log))
    assert any("ColdStart" in record for record in records(cold.log))
