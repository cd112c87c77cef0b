package main

import (
	"fmt"
	"runtime"

	"github.com/aws/aws-lambda-go/lambda"
)

type event struct {
	Name string `json:"name"`
}

type answer struct {
	Message string `json:"message"`
	From    string `json:"from"`
}

func handler(e event) (answer, error) {
	if e.Name == "" {
		e.Name = "World"
	}
	fmt.Println("greeting", e.Name)
	return answer{"Hello, " + e.Name + "!", runtime.Version()}, nil
}

func main() {
	lambda.Start(handler)
}
