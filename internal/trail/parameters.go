package trail

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/tarn-eks/tarn/internal/api"
)

// maxElement is how large one member of a record may be, in bytes: CloudTrail's
// limit.
const maxElement = 100 << 10

// What CloudTrail writes in place of a secret.
const (
	hidden  = "HIDDEN_DUE_TO_SECURITY_REASONS"
	removed = "<sensitiveDataRemoved>" // EC2's way
)

// secrets are the members that must not be in the trail, by their names in
// lower case, and what is written for them.
var secrets = map[string]string{
	"authorizationtoken": hidden,
	"newpassword":        hidden,
	"oldpassword":        hidden,
	"passphrase":         hidden,
	"password":           hidden,
	"privatekey":         hidden,
	"samlassertion":      hidden,
	"secretaccesskey":    hidden,
	"sessiontoken":       hidden,
	"tokencode":          hidden,
	"webidentitytoken":   hidden,
	"keymaterial":        removed,
	"userdata":           removed,
}

// Parameters is the input of a service's operation, as CloudTrail writes
// requestParameters: secrets and binary data taken out, nil if nothing is left.
func Parameters(s *api.Service, input any) json.RawMessage {
	w := writer{service: s}
	return w.element(input, "")
}

// Elements is the output of an operation, as CloudTrail writes
// responseElements.
func Elements(s *api.Service, op *api.Operation, output any, requestID string) json.RawMessage {
	w := writer{service: s}
	if !w.ec2() {
		return w.element(output, "")
	}
	if op.NoOutput {
		output = &struct {
			Return bool `aws:"_return"`
		}{true}
	}
	return w.element(output, requestID)
}

// writer writes the structs of package api as CloudTrail does.
type writer struct {
	service *api.Service
	b       []byte
}

func (w *writer) ec2() bool { return w.service.Protocols[0] == api.EC2Query }

func (w *writer) element(v any, requestID string) json.RawMessage {
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Pointer || rv.IsNil() || rv.Elem().Kind() != reflect.Struct {
		return nil
	}
	w.b = append(make([]byte, 0, 256), '{')
	if requestID != "" {
		w.name("requestId")
		w.text(requestID)
	}
	w.members(rv.Elem())
	w.b = append(w.b, '}')
	if len(w.b) == len("{}") {
		return nil
	}
	return w.limit(w.b)
}

func (w *writer) limit(b []byte) json.RawMessage {
	if len(b) > maxElement {
		return fmt.Appendf(nil, `{"omitted":true,"originalSize":%d,"reason":"CloudTrail records at most %d bytes of an element"}`, len(b), maxElement)
	}
	return b
}

// member is a field of a struct, with the names that CloudTrail gives it.
type member struct {
	index  int
	name   string
	secret string // what is written instead; "" is nothing
	set    string // EC2: the name of a list
	item   string // EC2: the name of a list's simple values
}

var timeType = reflect.TypeFor[time.Time]()

var plans sync.Map // reflect.Type to []member

func planOf(t reflect.Type) []member {
	if p, ok := plans.Load(t); ok {
		return p.([]member)
	}
	var plan []member
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("aws"), ",")
		if name == "" {
			name = f.Name
		}
		m := member{index: i, name: lowerFirst(name), secret: secrets[strings.ToLower(f.Name)]}
		m.set, m.item = setOf(name)
		plan = append(plan, m)
	}
	plans.Store(t, plan)
	return plan
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }

// setOf is how EC2's records name a list, {"instancesSet":{"items":[{"instanceId":…}]}},
// by the list's name in the protocol.
func setOf(name string) (set, item string) {
	item = lowerFirst(name)
	switch name {
	case "InstanceId":
		return "instancesSet", item
	case "ResourceId":
		return "resourcesSet", item
	case "GroupId":
		return "securityGroupIdSet", item
	case "SecurityGroupId":
		return "groupSet", "groupId"
	case "BlockDeviceMapping", "blockDeviceMapping":
		return "blockDeviceMapping", item
	}
	if strings.HasSuffix(name, "s") || strings.HasSuffix(name, "Set") {
		return item, item
	}
	return item + "Set", item
}

func (w *writer) members(v reflect.Value) {
	for _, m := range planOf(v.Type()) {
		f := v.Field(m.index)
		switch f.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			if f.IsNil() {
				continue
			}
			if f.Kind() == reflect.Pointer {
				f = f.Elem()
			}
		case reflect.String: // an enumeration
			if f.Len() == 0 {
				continue
			}
		}
		isList := f.Kind() == reflect.Slice && f.Type().Elem().Kind() != reflect.Uint8
		name := m.name
		if isList && w.ec2() {
			name = m.set
		}
		switch {
		case m.secret != "":
			w.name(name)
			w.text(m.secret)
		case f.Kind() == reflect.Slice && !isList:
			// Of binary data only what is public and small: a key pair's public half.
			if m.name == "publicKeyMaterial" {
				w.name(name)
				w.text(base64.StdEncoding.EncodeToString(f.Bytes()))
			}
		default:
			w.name(name)
			w.value(f, m.item)
		}
		if len(w.b) > 2*maxElement {
			return // it will not be written anyway
		}
	}
}

// value writes a value; item is what EC2 calls the simple values of a list.
func (w *writer) value(v reflect.Value, item string) {
	if v.Type() == timeType {
		w.time(v.Interface().(time.Time))
		return
	}
	switch v.Kind() {
	case reflect.String:
		w.text(v.String())
	case reflect.Bool:
		w.b = strconv.AppendBool(w.b, v.Bool())
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		w.b = strconv.AppendInt(w.b, v.Int(), 10)
	case reflect.Float32, reflect.Float64:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) {
			w.text(strconv.FormatFloat(f, 'g', -1, 64))
		} else {
			w.b = strconv.AppendFloat(w.b, f, 'f', -1, 64)
		}
	case reflect.Struct:
		w.b = append(w.b, '{')
		w.members(v)
		w.b = append(w.b, '}')
	case reflect.Slice:
		w.list(v, item)
	case reflect.Map:
		w.b = append(w.b, '{')
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			w.name(k.String())
			w.value(v.MapIndex(k), k.String())
		}
		w.b = append(w.b, '}')
	default:
		w.b = append(w.b, "null"...)
	}
}

func (w *writer) list(v reflect.Value, item string) {
	if w.ec2() {
		w.b = append(w.b, `{"items":`...)
	}
	w.b = append(w.b, '[')
	for i := range v.Len() {
		e := v.Index(i)
		w.comma()
		if w.ec2() && e.Kind() != reflect.Struct {
			w.b = append(w.b, '{')
			w.name(item)
			w.value(e, item)
			w.b = append(w.b, '}')
		} else {
			w.value(e, item)
		}
		if len(w.b) > 2*maxElement {
			break
		}
	}
	w.b = append(w.b, ']')
	if w.ec2() {
		w.b = append(w.b, '}')
	}
}

// time writes a timestamp as the services' records have them.
func (w *writer) time(t time.Time) {
	switch w.service.Protocols[0] {
	case api.EC2Query:
		w.b = strconv.AppendInt(w.b, t.UnixMilli(), 10)
	case api.RestJSON1:
		w.b = strconv.AppendFloat(w.b, float64(t.UnixMilli())/1000, 'f', -1, 64)
	default:
		w.text(t.UTC().Format("Jan 2, 2006 3:04:05 PM"))
	}
}

func (w *writer) comma() {
	if last := w.b[len(w.b)-1]; last != '{' && last != '[' {
		w.b = append(w.b, ',')
	}
}

func (w *writer) name(s string) {
	w.comma()
	w.text(s)
	w.b = append(w.b, ':')
}

const hex = "0123456789abcdef"

// text writes a JSON string. What is not UTF-8 becomes the replacement
// character.
func (w *writer) text(s string) {
	w.b = append(w.b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.b = append(w.b, '\\', byte(r))
		case r == '\n':
			w.b = append(w.b, '\\', 'n')
		case r < ' ':
			w.b = append(w.b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			w.b = utf8.AppendRune(w.b, r)
		}
	}
	w.b = append(w.b, '"')
}
