package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// model is the part of an api-2.json that the generator reads.
type model struct {
	Metadata   metadata
	Operations map[string]*operation
	Shapes     map[string]*shape
}

type metadata struct {
	APIVersion     string `json:"apiVersion"`
	EndpointPrefix string `json:"endpointPrefix"`
	SigningName    string `json:"signingName"`
	ServiceID      string `json:"serviceId"`
	Protocol       string
	Protocols      []string
	JSONVersion    string `json:"jsonVersion"`
	TargetPrefix   string `json:"targetPrefix"`
	XMLNamespace   string `json:"xmlNamespace"`
	InvalidCode    string `json:"invalidCode"` // only in overlays
}

type operation struct {
	HTTP struct {
		Method       string
		RequestURI   string `json:"requestUri"`
		ResponseCode int    `json:"responseCode"`
	}
	Input, Output *ref
	Errors        []ref
}

// ref is a use of a shape: a member of a structure, an element, an operation's
// input.
type ref struct {
	Shape            string
	Location         string
	LocationName     string
	QueryName        string
	ResultWrapper    string
	Flattened        bool
	IdempotencyToken bool
	TimestampFormat  string
	XMLNamespace     struct{ URI string } `json:"xmlNamespace"`
	XMLAttribute     bool                 `json:"xmlAttribute"`
	Streaming        bool
	Eventstream      bool
	HostLabel        bool
}

type shape struct {
	Type            string
	Members         members
	Required        []string
	Member          *ref
	Key, Value      *ref
	Flattened       bool
	Payload         string
	Enum            []string
	TimestampFormat string
	Exception       bool
	Fault           bool
	Document        bool
	Streaming       bool
	Error           *struct {
		Code           string
		HTTPStatusCode int  `json:"httpStatusCode"`
		SenderFault    bool `json:"senderFault"`
	}
}

// members keeps the model's order, which is that of AWS's documents.
type members struct {
	names []string
	refs  map[string]*ref
}

func (m *members) UnmarshalJSON(b []byte) error {
	if m.refs == nil {
		m.refs = map[string]*ref{}
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		r := new(ref)
		if err := d.Decode(r); err != nil {
			return err
		}
		if m.refs[name.(string)] == nil {
			m.names = append(m.names, name.(string))
		}
		m.refs[name.(string)] = r
	}
	return nil
}

// loadModel reads a model and lays the overlay, if there is one, over it:
// operations are added or replaced, shapes are added or gain members.
func loadModel(path, overlay string) (*model, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m := new(model)
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	b, err = os.ReadFile(overlay)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	} else if err != nil {
		return nil, err
	}
	over := struct {
		Metadata   *metadata
		Operations map[string]*operation
		Shapes     map[string]json.RawMessage
	}{Metadata: &m.Metadata, Operations: m.Operations}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&over); err != nil {
		return nil, fmt.Errorf("%s: %w", overlay, err)
	}
	for name, raw := range over.Shapes {
		s := m.Shapes[name]
		if s == nil {
			s = new(shape)
			m.Shapes[name] = s
		}
		if err := json.Unmarshal(raw, s); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", overlay, name, err)
		}
	}
	return m, nil
}

// protocols names the service's protocols as Go constants of package api, the
// preferred one first.
func (m *metadata) protocols() ([]string, error) {
	names := m.Protocols
	if len(names) == 0 {
		names = []string{m.Protocol}
	}
	var out []string
	for _, p := range names {
		switch {
		case p == "query":
			p = "AWSQuery"
		case p == "ec2":
			p = "EC2Query"
		case p == "rest-xml":
			p = "RestXML"
		case p == "rest-json":
			p = "RestJSON1"
		case p == "json" && m.JSONVersion == "1.0":
			p = "AWSJSON10"
		case p == "json" && m.JSONVersion == "1.1":
			p = "AWSJSON11"
		case p == "smithy-rpc-v2-cbor":
			p = "RPCv2CBOR"
		default:
			return nil, fmt.Errorf("protocol %q is not known here", p)
		}
		out = append(out, p)
	}
	return out, nil
}

// signing is the service in the credential scope.
func (m *metadata) signing() string {
	if m.SigningName != "" {
		return m.SigningName
	}
	return m.EndpointPrefix
}
