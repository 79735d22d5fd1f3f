package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/eks"
	"github.com/aws/smithy-go"
)

// eksProgram and autoscalingProgram are `eks OPERATION [MEMBER=VALUE...]` and
// `autoscaling OPERATION [MEMBER=VALUE...]` in the scripts: calls by the SDK, for
// what Debian's CLI is too old to know. A value that begins as JSON is JSON. They
// print the answer as JSON. They call as `aws` does: as root, or as whom the
// command `as` has chosen.
func eksProgram() {
	sdkProgram("eks", func(c aws.Config) any { return eks.NewFromConfig(c) })
}

func autoscalingProgram() {
	sdkProgram("autoscaling", func(c aws.Config) any { return autoscaling.NewFromConfig(c) })
}

func sdkProgram(service string, client func(aws.Config) any) {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("usage: %s OPERATION [MEMBER=VALUE...]", service))
	}
	answer, err := callBySDK(context.Background(), client, os.Args[1], os.Args[2:])
	if err != nil {
		var refused smithy.APIError
		if errors.As(err, &refused) {
			err = fmt.Errorf("%s: %s", refused.ErrorCode(), refused.ErrorMessage())
		}
		fail(err)
	}
	fmt.Printf("%s\n", answer)
}

func callBySDK(ctx context.Context, client func(aws.Config) any, operation string, members []string) ([]byte, error) {
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithBaseEndpoint("http://127.0.0.1:"+os.Getenv("ENDPOINT_PORT")),
		config.WithSharedCredentialsFiles([]string{filepath.Join(os.Getenv("TARN_DATA_DIR"), "credentials")}))
	if err != nil {
		return nil, err
	}
	method := reflect.ValueOf(client(cfg)).MethodByName(operation)
	if !method.IsValid() {
		return nil, fmt.Errorf("there is no operation %s", operation)
	}
	document := map[string]any{}
	for _, m := range members {
		name, value, _ := strings.Cut(m, "=")
		document[name] = value
		if strings.HasPrefix(value, "[") || strings.HasPrefix(value, "{") {
			document[name] = json.RawMessage(value)
		}
	}
	text, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	input := reflect.New(method.Type().In(1).Elem())
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(input.Interface()); err != nil {
		return nil, err
	}
	results := method.Call([]reflect.Value{reflect.ValueOf(ctx), input})
	if err, ok := results[1].Interface().(error); ok {
		return nil, err
	}
	output := results[0].Elem()
	output.FieldByName("ResultMetadata").SetZero()
	return json.MarshalIndent(output.Interface(), "", " ")
}
