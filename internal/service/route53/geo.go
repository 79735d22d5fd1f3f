package route53

import (
	"context"
	_ "embed"
	"slices"
	"strings"

	"github.com/tarn-eks/tarn/internal/api"
	route53api "github.com/tarn-eks/tarn/internal/api/route53"
)

//go:embed geo.txt
var geoText string

// place is a location and its names.
type place struct {
	GeoLocation
	continent, country, subdivision string
}

// places are all locations, in the order in which they are listed.
var places = readPlaces(geoText)

func readPlaces(text string) (list []place) {
	country := ""
	for line := range strings.Lines(text) {
		code, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if !ok {
			continue
		}
		continent, isContinent := strings.CutPrefix(code, "continent ")
		state, isState := strings.CutPrefix(code, "US/")
		switch {
		case isContinent:
			list = append(list, place{GeoLocation{Continent: continent}, name, "", ""})
		case isState:
			list = append(list, place{GeoLocation{Country: "US", Subdivision: state}, "", country, name})
		default:
			country = name
			list = append(list, place{GeoLocation{Country: code}, "", name, ""})
		}
	}
	return list
}

// String writes a location as AWS's messages do.
func (g *GeoLocation) String() string {
	return "[ContinentCode=" + orNull(present(g.Continent)) + ", CountryCode=" + orNull(present(g.Country)) + ", SubdivisionCode=" + orNull(present(g.Subdivision)) + "]"
}

// check checks that a location is one of those that there are.
func (g *GeoLocation) check() error {
	switch {
	case g.Continent != "" && (g.Country != "" || g.Subdivision != ""):
		return invalid("Invalid request: Expected exactly one of [ContinentCode, or CountryCode], but found more than one in GeoLocation with %s", g)
	case g.Continent == "" && g.Country == "":
		return invalid("Invalid request: Expected exactly one of [ContinentCode, or CountryCode], but found none in GeoLocation with %s", g)
	case find(*g) < 0:
		return invalid("Invalid request: Amazon Route 53 doesn't support the geographic location %s", g)
	}
	return nil
}

// find is the index of a location, or -1.
func find(g GeoLocation) int {
	return slices.IndexFunc(places, func(p place) bool { return p.GeoLocation == g })
}

func describePlace(p *place) route53api.GeoLocationDetails {
	return route53api.GeoLocationDetails{
		ContinentCode: present(p.Continent), ContinentName: present(p.continent),
		CountryCode: present(p.Country), CountryName: present(p.country),
		SubdivisionCode: present(p.Subdivision), SubdivisionName: present(p.subdivision),
	}
}

// GetGeoLocation implements route53api.Handler.
func (s *Service) GetGeoLocation(_ context.Context, in *route53api.GetGeoLocationInput) (*route53api.GetGeoLocationOutput, error) {
	g := GeoLocation{Continent: api.Val(in.ContinentCode), Country: api.Val(in.CountryCode), Subdivision: api.Val(in.SubdivisionCode)}
	if g == (GeoLocation{}) {
		g.Country = "*"
	}
	if g.Continent != "" && (g.Country != "" || g.Subdivision != "") || g.Subdivision != "" && g.Country == "" {
		return nil, g.check()
	}
	i := find(g)
	if i < 0 {
		return nil, route53api.NoSuchGeoLocation.New("Amazon Route 53 doesn't support the specified geographic location.")
	}
	return &route53api.GetGeoLocationOutput{GeoLocationDetails: new(describePlace(&places[i]))}, nil
}

// ListGeoLocations implements route53api.Handler.
func (s *Service) ListGeoLocations(_ context.Context, in *route53api.ListGeoLocationsInput) (*route53api.ListGeoLocationsOutput, error) {
	n, err := pageSize(in.MaxItems, zonePage)
	if err != nil {
		return nil, err
	}
	from := GeoLocation{Continent: api.Val(in.StartContinentCode), Country: api.Val(in.StartCountryCode), Subdivision: api.Val(in.StartSubdivisionCode)}
	if from.Continent != "" && from.Country != "" || from.Subdivision != "" && from.Country == "" {
		return nil, from.check()
	}
	i := slices.IndexFunc(places, func(p place) bool { return !p.before(from) })
	if i < 0 {
		i = len(places)
	}
	list := places[i:]
	out := &route53api.ListGeoLocationsOutput{
		GeoLocationDetailsList: []route53api.GeoLocationDetails{}, IsTruncated: new(len(list) > n), MaxItems: maxItems(n),
	}
	if len(list) > n {
		next := &list[n]
		out.NextContinentCode, out.NextCountryCode, out.NextSubdivisionCode = present(next.Continent), present(next.Country), present(next.Subdivision)
		list = list[:n]
	}
	for i := range list {
		out.GeoLocationDetailsList = append(out.GeoLocationDetailsList, describePlace(&list[i]))
	}
	return out, nil
}

// before says whether a place is listed before where a list begins.
func (p *place) before(from GeoLocation) bool {
	switch {
	case from == GeoLocation{}:
		return false
	case from.Continent != "":
		return p.Continent < from.Continent // countries have none
	case p.Continent != "":
		return false
	case p.Country != from.Country:
		return p.Country < from.Country
	}
	return p.Subdivision < from.Subdivision
}
