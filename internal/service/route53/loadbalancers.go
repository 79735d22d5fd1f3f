package route53

import (
	"strings"

	route53api "github.com/tarn-eks/tarn/internal/api/route53"
	"github.com/tarn-eks/tarn/internal/hostedzone"
)

// latencyRegions are the regions that latency records may name.
var latencyRegions = func() (list []route53api.ResourceRecordSetRegion) {
	for _, region := range hostedzone.Regions() {
		if !strings.HasPrefix(region, "us-gov-") {
			list = append(list, route53api.ResourceRecordSetRegion(region))
		}
	}
	return list
}()
