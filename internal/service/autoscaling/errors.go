package autoscaling

import (
	"net/http"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	autoscalingapi "github.com/tarn-eks/tarn/internal/api/autoscaling"
)

// invalid is for nearly everything that a request can have wrong.
func invalid(format string, args ...any) *api.Error {
	return api.Errorf(http.StatusBadRequest, "ValidationError", format, args...)
}

// constraint is what AWS says of a value that the model does not allow.
func constraint(member string, value any, must string, args ...any) *api.Error {
	e := invalid(must, args...)
	return invalid("1 validation error detected: Value '%v' at '%s' failed to satisfy constraint: Member must %s", value, member, e.Message)
}

// oneOf wants one of an enumeration's values.
func oneOf(member, value string, values ...string) error {
	for _, v := range values {
		if v == value {
			return nil
		}
	}
	return constraint(member, value, "satisfy enum value set: [%s]", strings.Join(values, ", "))
}

// between wants a number from least to most.
func between(member string, n, least, most int) error {
	switch {
	case n < least:
		return constraint(member, n, "have value greater than or equal to %d", least)
	case n > most:
		return constraint(member, n, "have value less than or equal to %d", most)
	}
	return nil
}

// length wants a text of so many characters.
func length(member, text string, least, most int) error {
	switch n := len([]rune(text)); {
	case n < least:
		return constraint(member, text, "have length greater than or equal to %d", least)
	case n > most:
		return constraint(member, text, "have length less than or equal to %d", most)
	}
	return nil
}

func noGroup(name string) error {
	return invalid("AutoScalingGroup name not found - AutoScalingGroup %s not found", name)
}

func noInstance(id string) error {
	return invalid("Instance Id not found - No managed instance found for instance ID: %s", id)
}

func notInGroup(id, group string) error {
	return invalid("The instance %s is not part of Auto Scaling group %s.", id, group)
}

func pendingDelete(name string) error {
	return autoscalingapi.ScalingActivityInProgressFault.New("AutoScalingGroup %s is pending delete.", name)
}
