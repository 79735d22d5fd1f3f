package trail

import (
	"encoding/json"
	"strings"
	"time"
)

const eventVersion = "1.11"

// Record is one call. Members that CloudTrail writes as null are there even if
// they are empty.
type Record struct {
	EventVersion    string    `json:"eventVersion"` // set by Add
	UserIdentity    Identity  `json:"userIdentity"`
	EventTime       time.Time `json:"eventTime"`   // in whole seconds
	EventSource     string    `json:"eventSource"` // ec2.amazonaws.com
	EventName       string    `json:"eventName"`   // the operation
	AWSRegion       string    `json:"awsRegion"`
	SourceIPAddress string    `json:"sourceIPAddress"`
	UserAgent       string    `json:"userAgent"`
	ErrorCode       string    `json:"errorCode,omitempty"`
	ErrorMessage    string    `json:"errorMessage,omitempty"`
	// RequestParameters and ResponseElements are made with Parameters and
	// Elements; nil is null.
	RequestParameters   json.RawMessage `json:"requestParameters"`
	ResponseElements    json.RawMessage `json:"responseElements"`
	AdditionalEventData Additional      `json:"additionalEventData"`
	RequestID           string          `json:"requestID"`
	EventID             string          `json:"eventID"` // set by Add if empty
	ReadOnly            bool            `json:"readOnly"`
	EventType           string          `json:"eventType"`       // "" is AwsApiCall
	ManagementEvent     bool            `json:"managementEvent"` // set by Add
	RecipientAccountID  string          `json:"recipientAccountId"`
	EventCategory       string          `json:"eventCategory"` // "" is Management
}

// Identity is who made a call.
//
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-user-identity.html
type Identity struct {
	Type             string          `json:"type"` // Root IAMUser AssumedRole FederatedUser WebIdentityUser AWSService Unknown
	PrincipalID      string          `json:"principalId,omitempty"`
	ARN              string          `json:"arn,omitempty"`
	AccountID        string          `json:"accountId,omitempty"`
	AccessKeyID      string          `json:"accessKeyId,omitempty"`
	UserName         string          `json:"userName,omitempty"`
	SessionContext   *SessionContext `json:"sessionContext,omitempty"`
	InvokedBy        string          `json:"invokedBy,omitempty"`
	IdentityProvider string          `json:"identityProvider,omitempty"`
}

// SessionContext is how temporary credentials came to be.
type SessionContext struct {
	SessionIssuer       *SessionIssuer     `json:"sessionIssuer,omitempty"`
	WebIDFederationData *WebIDFederation   `json:"webIdFederationData,omitempty"`
	Attributes          *SessionAttributes `json:"attributes,omitempty"`
	EC2RoleDelivery     string             `json:"ec2RoleDelivery,omitempty"` // "2.0": by IMDSv2
}

// SessionIssuer is the role of a session.
type SessionIssuer struct {
	Type        string `json:"type"`
	PrincipalID string `json:"principalId"`
	ARN         string `json:"arn"`
	AccountID   string `json:"accountId"`
	UserName    string `json:"userName"`
}

// WebIDFederation says who vouched for a session's first caller.
type WebIDFederation struct {
	FederatedProvider string            `json:"federatedProvider"`
	Attributes        map[string]string `json:"attributes"`
}

// SessionAttributes are a session's own.
type SessionAttributes struct {
	CreationDate     time.Time `json:"creationDate"` // in whole seconds
	MFAAuthenticated string    `json:"mfaAuthenticated"`
}

// Additional is what CloudTrail's format leaves to each source.
type Additional struct {
	DurationMilliseconds float64 `json:"durationMilliseconds"`
}

// Parse reads a line of the trail.
func Parse(line []byte) (Record, error) {
	var r Record
	err := json.Unmarshal(line, &r)
	return r, err
}

// readers are the beginnings of the names of operations that change nothing.
var readers = []string{"BatchCheck", "BatchGet", "Check", "Decode", "Describe", "Get", "List", "Lookup", "Search", "Simulate", "Test"}

// ReadOnly tells whether CloudTrail takes an operation of a service (by its
// signing name) for one that changes nothing.
func ReadOnly(service, operation string) bool {
	if service == "sts" {
		return true // it only hands out credentials
	}
	for _, verb := range readers {
		if strings.HasPrefix(operation, verb) {
			return true
		}
	}
	return false
}
