package naming

import "math"

// area is where a region is, in the codes of Route 53's geolocation: the continent,
// the country, for the United States the state; and its place on the globe in degrees.
type area struct {
	continent, country, subdivision string
	latitude, longitude             float64
}

// regions are AWS's, at the cities or states that AWS names.
//
// https://docs.aws.amazon.com/global-infrastructure/latest/regions/aws-regions.html
var regions = map[string]area{
	"af-south-1":     {"AF", "ZA", "", -33.9, 18.4},
	"ap-east-1":      {"AS", "HK", "", 22.3, 114.2},
	"ap-east-2":      {"AS", "TW", "", 25.0, 121.5},
	"ap-northeast-1": {"AS", "JP", "", 35.7, 139.7},
	"ap-northeast-2": {"AS", "KR", "", 37.6, 127.0},
	"ap-northeast-3": {"AS", "JP", "", 34.7, 135.5},
	"ap-south-1":     {"AS", "IN", "", 19.1, 72.9},
	"ap-south-2":     {"AS", "IN", "", 17.4, 78.5},
	"ap-southeast-1": {"AS", "SG", "", 1.3, 103.8},
	"ap-southeast-2": {"OC", "AU", "", -33.9, 151.2},
	"ap-southeast-3": {"AS", "ID", "", -6.2, 106.8},
	"ap-southeast-4": {"OC", "AU", "", -37.8, 145.0},
	"ap-southeast-5": {"AS", "MY", "", 3.1, 101.7},
	"ap-southeast-6": {"OC", "NZ", "", -36.8, 174.8},
	"ap-southeast-7": {"AS", "TH", "", 13.8, 100.5},
	"ca-central-1":   {"NA", "CA", "", 45.5, -73.6},
	"ca-west-1":      {"NA", "CA", "", 51.0, -114.1},
	"cn-north-1":     {"AS", "CN", "", 39.9, 116.4},
	"cn-northwest-1": {"AS", "CN", "", 37.5, 105.2},
	"eu-central-1":   {"EU", "DE", "", 50.1, 8.7},
	"eu-central-2":   {"EU", "CH", "", 47.4, 8.5},
	"eu-north-1":     {"EU", "SE", "", 59.3, 18.1},
	"eu-south-1":     {"EU", "IT", "", 45.5, 9.2},
	"eu-south-2":     {"EU", "ES", "", 41.6, -0.9},
	"eu-west-1":      {"EU", "IE", "", 53.3, -6.3},
	"eu-west-2":      {"EU", "GB", "", 51.5, -0.1},
	"eu-west-3":      {"EU", "FR", "", 48.9, 2.4},
	"il-central-1":   {"AS", "IL", "", 32.1, 34.8},
	"me-central-1":   {"AS", "AE", "", 24.5, 54.4},
	"me-south-1":     {"AS", "BH", "", 26.1, 50.6},
	"mx-central-1":   {"NA", "MX", "", 20.6, -100.4},
	"sa-east-1":      {"SA", "BR", "", -23.6, -46.6},
	"us-east-1":      {"NA", "US", "VA", 38.9, -77.4},
	"us-east-2":      {"NA", "US", "OH", 40.0, -83.0},
	"us-gov-east-1":  {"NA", "US", "OH", 40.0, -83.0},
	"us-gov-west-1":  {"NA", "US", "OR", 45.8, -119.7},
	"us-west-1":      {"NA", "US", "CA", 37.4, -122.0},
	"us-west-2":      {"NA", "US", "OR", 45.8, -119.7},
}

// distance is how far two regions are apart, as the angle between them, which stands
// for the time that packets take. A region that is not known is the farthest.
func distance(a, b string) float64 {
	if a == b {
		return -1 // nearer than two regions in one state
	}
	p, ok := regions[a]
	q, ok2 := regions[b]
	if !ok || !ok2 {
		return math.Pi + 1
	}
	rad := func(degrees float64) float64 { return degrees * math.Pi / 180 }
	lat1, lat2, dlon := rad(p.latitude), rad(q.latitude), rad(q.longitude-p.longitude)
	cos := math.Sin(lat1)*math.Sin(lat2) + math.Cos(lat1)*math.Cos(lat2)*math.Cos(dlon)
	return math.Acos(min(1, max(-1, cos)))
}
