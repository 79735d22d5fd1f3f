// The module that holds AWS's service models. It is apart from the main
// module because nothing imports it: the generator reads its files.
module github.com/tarn-eks/tarn/internal/api/gen/models

go 1.26

require github.com/aws/aws-sdk-go v1.55.8
