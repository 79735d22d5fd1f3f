package wire

import (
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
)

// Protocol is one of a service's protocols, as a request chose it. The zero
// Protocol is not usable; Detect and Parse return one.
type Protocol struct {
	name    api.Protocol
	service *Service
	// queryMode asks for the code that awsQuery would have had, in a header:
	// clients of services that left awsQuery behind match on it.
	queryMode bool
}

// Name is AWS's name of the protocol.
func (p Protocol) Name() api.Protocol { return p.name }

// operation tells which operation a message asks for, and keeps what it had to
// read to know.
func (p Protocol) operation(m *message) (string, error) {
	switch p.name {
	case api.AWSQuery, api.EC2Query:
		texts := []string{m.URL.RawQuery}
		if m.Method == http.MethodPost {
			texts = append(texts, string(m.body))
		}
		var err error
		m.form, err = parseForm(texts...)
		return formValue(m.form, "Action"), err
	case api.AWSJSON10, api.AWSJSON11:
		_, name, _ := strings.Cut(m.Header.Get("X-Amz-Target"), ".")
		return name, nil
	case api.RPCv2CBOR:
		_, name, ok := strings.Cut(m.URL.Path, "/service/"+p.service.Target+"/operation/")
		if !ok {
			return "", fmt.Errorf("the path must end in /service/%s/operation/ and the operation's name", p.service.Target)
		}
		return name, nil
	default:
		return p.service.match(m)
	}
}

// read reads a message into the operation's input v.
func (p Protocol) read(m *message, op *operation, v reflect.Value) error {
	budget := p.service.maxBody
	switch p.name {
	case api.AWSQuery, api.EC2Query:
		r := queryReader{reader{budget: budget}, p.name == api.EC2Query}
		return r.structure(v, op.in, m.form, 0)
	case api.AWSJSON10, api.AWSJSON11:
		if len(m.body) == 0 {
			return nil
		}
		return readJSON(m.body, v, op.in, budget)
	case api.RPCv2CBOR:
		if len(m.body) == 0 {
			return nil
		}
		return readCBOR(m.body, v, op.in, budget)
	default:
		return p.readREST(m, op, v, budget)
	}
}

// WriteOutput writes the response of op: out points to its output. The error
// is that of writing to w, after which nothing more can be told to the client.
func (p Protocol) WriteOutput(w http.ResponseWriter, op *api.Operation, out any, requestID string) error {
	v := reflect.ValueOf(out).Elem()
	s := shapeOf(v.Type())
	h := w.Header()
	var body []byte
	status := http.StatusOK
	switch p.name {
	case api.AWSQuery:
		x := xmlWriter{b: borrow(), time: timeISO}
		defer x.giveBack()
		x.root(op.Name+"Response", p.service.Namespace)
		if op.Reply != "" {
			x.open(op.Reply)
			x.members(v, s)
			x.close(op.Reply)
		}
		x.open("ResponseMetadata")
		x.text("RequestId", requestID)
		x.close("ResponseMetadata")
		x.close(op.Name + "Response")
		body = x.b
	case api.EC2Query:
		x := xmlWriter{b: append(borrow(), xmlHeader...), time: timeISOMilli}
		defer x.giveBack()
		x.root(op.Name+"Response", p.service.Namespace)
		x.text("requestId", requestID)
		x.members(v, s)
		if op.NoOutput {
			x.text("return", "true")
		}
		x.close(op.Name + "Response")
		body = x.b
	case api.AWSJSON10, api.AWSJSON11:
		if !op.NoOutput {
			body = appendJSON(nil, v, s)
		}
	case api.RPCv2CBOR:
		if !op.NoOutput {
			var err error
			if body, err = appendCBOR(v, s); err != nil {
				return err
			}
		}
	default:
		body, status = p.appendREST(h, op, v, s)
	}
	return p.send(w, status, body, requestID)
}

const xmlHeader = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"

func (p Protocol) send(w http.ResponseWriter, status int, body []byte, requestID string) error {
	h := w.Header()
	h.Set("X-Amzn-Requestid", requestID)
	switch p.name {
	case api.AWSQuery, api.RestXML:
		h.Set("Content-Type", "text/xml")
	case api.EC2Query:
		h.Set("Content-Type", "text/xml;charset=UTF-8")
	case api.AWSJSON10:
		h.Set("Content-Type", "application/x-amz-json-1.0")
	case api.AWSJSON11:
		h.Set("Content-Type", "application/x-amz-json-1.1")
	case api.RestJSON1:
		if h.Get("Content-Type") == "" {
			h.Set("Content-Type", "application/json")
		}
	case api.RPCv2CBOR:
		h.Set("Smithy-Protocol", "rpc-v2-cbor")
		if body != nil {
			h.Set("Content-Type", "application/cbor")
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err
}

// WriteError writes an error: an *api.Error as it is, anything else as an
// internal error whose text is not shown. The error that it returns is that of
// writing to w.
func (p Protocol) WriteError(w http.ResponseWriter, err error, requestID string) error {
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		code := "InternalFailure"
		if p.name == api.EC2Query {
			code = "InternalError"
		}
		e = api.Errorf(http.StatusInternalServerError, code, "An internal error has occurred.")
	}
	fault, status := e.Fault, e.Status
	if fault == "" {
		fault = api.Sender
	}
	if status == 0 {
		status = http.StatusBadRequest
		if fault == api.Receiver {
			status = http.StatusInternalServerError
		}
	}
	if p.queryMode {
		w.Header().Set("X-Amzn-Query-Error", e.Code+";"+string(fault))
	}
	var detail reflect.Value
	if e.Detail != nil {
		detail = reflect.ValueOf(e.Detail).Elem()
	}
	body := p.appendError(w.Header(), e, fault, detail, requestID)
	return p.send(w, status, body, requestID)
}

func (p Protocol) appendError(h http.Header, e *api.Error, fault api.Fault, detail reflect.Value, requestID string) []byte {
	shapeName, message := e.Shape, e.MessageName
	if shapeName == "" {
		shapeName = e.Code
	}
	if message == "" {
		message = "message"
	}
	switch p.name {
	case api.EC2Query:
		x := xmlWriter{b: []byte(xmlHeader)}
		x.open("Response")
		x.open("Errors")
		x.open("Error")
		x.text("Code", e.Code)
		x.text("Message", e.Message)
		x.close("Error")
		x.close("Errors")
		x.text("RequestID", requestID)
		x.close("Response")
		return x.b
	case api.AWSQuery, api.RestXML:
		x := xmlWriter{time: timeISO}
		if p.name == api.RestXML {
			x.b = []byte(xmlHeader)
		}
		if e.Code == "InvalidChangeBatch" && detail.IsValid() {
			// Route 53 alone writes this error, which can hold several texts, as
			// a document of its own.
			x.root(e.Code, p.service.Namespace)
			x.members(detail, shapeOf(detail.Type()))
			x.text("RequestId", requestID)
			x.close(e.Code)
			return x.b
		}
		x.root("ErrorResponse", p.service.Namespace)
		x.open("Error")
		x.text("Type", string(fault))
		x.text("Code", e.Code)
		x.text("Message", e.Message)
		if detail.IsValid() {
			x.members(detail, shapeOf(detail.Type()))
		}
		x.close("Error")
		x.text("RequestId", requestID)
		x.close("ErrorResponse")
		return x.b
	case api.RPCv2CBOR:
		return appendCBORError(p.shapeID(shapeName), message, e.Message, detail)
	}
	b := []byte{'{'}
	if p.name == api.RestJSON1 {
		h.Set("X-Amzn-Errortype", shapeName)
	} else {
		b = appendJSONName(b, "__type")
		b = appendJSONString(b, shapeName)
	}
	b = appendJSONName(b, message)
	b = appendJSONString(b, e.Message)
	if detail.IsValid() {
		b = appendJSONMembers(b, detail, shapeOf(detail.Type()))
	}
	return append(b, '}')
}

// shapeID is the name of a shape of the service as Smithy writes it in full.
func (p Protocol) shapeID(name string) string {
	return "com.amazonaws." + p.service.Name + "#" + name
}
