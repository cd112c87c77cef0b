// A function for the runtimes go1.x and provided: one program, whose handler the environment chooses.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type person struct {
	Name string `json:"name"`
}

func hello(ctx context.Context, event person) (string, error) {
	return fmt.Sprintf("Hello %s!", event.Name), nil
}

var count int

func counter() (int, error) {
	count++
	return count, nil
}

func onlyErrors() error {
	return errors.New("something went wrong!")
}

type surroundings struct {
	Function, Version, Group, RequestID, Arn, Execution, Custom string
	Memory                                                      int
	Left                                                        int64
}

func look(ctx context.Context) (surroundings, error) {
	lc, _ := lambdacontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	return surroundings{
		Function: lambdacontext.FunctionName, Version: lambdacontext.FunctionVersion,
		Group: lambdacontext.LogGroupName, Memory: lambdacontext.MemoryLimitInMB,
		RequestID: lc.AwsRequestID, Arn: lc.InvokedFunctionArn, Execution: os.Getenv("AWS_EXECUTION_ENV"),
		Custom: lc.ClientContext.Custom["key"], Left: time.Until(deadline).Milliseconds(),
	}, nil
}

func echo(event json.RawMessage) (json.RawMessage, error) {
	fmt.Println("echoing", len(event))
	return event, nil
}

func crash() {
	panic("out of order")
}

func main() {
	handlers := map[string]any{
		"hello": hello, "counter": counter, "onlyErrors": onlyErrors, "look": look, "echo": echo, "crash": crash,
	}
	lambda.Start(handlers[os.Getenv("HANDLER")])
}
