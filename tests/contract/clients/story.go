// The whole story by a generated Go client: story URL ADMIN PASSWORD DIRECTORY
package main

import (
	"context"
	"fmt"
	"os"

	client "github.com/GIT_USER_ID/GIT_REPO_ID"
)

func must(err error) {
	if err != nil {
		if e, ok := err.(*client.GenericOpenAPIError); ok {
			fmt.Println(string(e.Body()))
		}
		panic(err)
	}
}

func check(ok bool, what string) {
	if !ok {
		panic(what)
	}
}

func main() {
	url, admin, password, directory := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	configuration := client.NewConfiguration()
	configuration.Servers = client.ServerConfigurations{{URL: url + "/api/v2"}}
	c := client.NewAPIClient(configuration)
	basic := client.BasicAuth{UserName: admin, Password: password}
	token, _, err := c.TokenAPI.GetToken(context.WithValue(context.Background(), client.ContextBasicAuth, basic)).Execute()
	must(err)
	ctx := context.WithValue(context.Background(), client.ContextAccessToken, token.GetAccessToken())

	folder := client.NewFolder()
	folder.SetName("go-f")
	folder.SetMappedPath(directory + "/go-f")
	_, _, err = c.FoldersAPI.AddFolder(ctx).Folder(*folder).Execute()
	must(err)
	included := client.NewVirtualFolder()
	included.SetName("go-f")
	included.SetVirtualPath("/f")
	included.SetQuotaSize(-1)
	included.SetQuotaFiles(-1)
	user := client.NewUser()
	user.SetUsername("go")
	user.SetStatus(1)
	user.SetPassword("secret")
	user.SetQuotaSize(5 << 40)
	user.SetPermissions(map[string][]string{"/": {"*"}})
	user.SetVirtualFolders([]client.VirtualFolder{*included})
	made, _, err := c.UsersAPI.AddUser(ctx).User(*user).Execute()
	must(err)
	check(made.GetId() > 0 && made.GetQuotaSize() == 5<<40, "made")
	got, _, err := c.UsersAPI.GetUserByUsername(ctx, "go").Execute()
	must(err)
	check(got.GetUsername() == "go" && len(got.GetVirtualFolders()) == 1, "got")
	users, _, err := c.UsersAPI.GetUsers(ctx).Limit(500).Execute()
	must(err)
	check(len(users) >= 1, "users")
	said, _, err := c.QuotaAPI.StartUserQuotaScan(ctx, "go").Execute()
	must(err)
	check(said.GetMessage() == "Scan started", "scan")
	usage, _, err := c.QuotaAPI.GetUserUsage(ctx, "go").Execute()
	must(err)
	check(usage.GetUsedQuotaSize() == 0, "usage")
	_, _, err = c.ConnectionsAPI.GetConnections(ctx).Execute()
	must(err)
	dump, _, err := c.MaintenanceAPI.Dumpdata(ctx).OutputData("1").Execute()
	must(err)
	check(len(dump.GetUsers()) >= 1 && dump.GetVersion() == 10, "dump")
	_, _, err = c.UsersAPI.DeleteUser(ctx, "go").Execute()
	must(err)
	_, _, err = c.FoldersAPI.DeleteFolder(ctx, "go-f").Execute()
	must(err)
	_, response, err := c.UsersAPI.GetUserByUsername(ctx, "go").Execute()
	check(err != nil && response.StatusCode == 404, "still there")
	fmt.Println("story told")
}
