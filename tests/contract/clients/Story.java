// The whole story by a generated Java client: java Story URL ADMIN PASSWORD DIRECTORY
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.ConnectionsApi;
import org.openapitools.client.api.FoldersApi;
import org.openapitools.client.api.MaintenanceApi;
import org.openapitools.client.api.QuotaApi;
import org.openapitools.client.api.TokenApi;
import org.openapitools.client.api.UsersApi;
import org.openapitools.client.model.Folder;
import org.openapitools.client.model.User;
import org.openapitools.client.model.VirtualFolder;

public class Story {
    static void check(boolean ok, String what) {
        if (!ok) throw new IllegalStateException(what);
    }

    static ApiClient client(String url, String authorization) {
        ApiClient c = new ApiClient();
        c.updateBaseUri(url + "/api/v2");
        c.setRequestInterceptor(request -> request.header("Authorization", authorization));
        return c;
    }

    public static void main(String[] args) throws Exception {
        byte[] pair = (args[1] + ":" + args[2]).getBytes(StandardCharsets.UTF_8);
        ApiClient basic = client(args[0], "Basic " + Base64.getEncoder().encodeToString(pair));
        ApiClient bearer = client(args[0], "Bearer " + new TokenApi(basic).getToken(null).getAccessToken());
        FoldersApi folders = new FoldersApi(bearer);
        UsersApi users = new UsersApi(bearer);
        QuotaApi quota = new QuotaApi(bearer);
        folders.addFolder(new Folder().name("java-f").mappedPath(args[3] + "/java-f"));
        VirtualFolder included = new VirtualFolder();
        included.setName("java-f");
        included.setVirtualPath("/f");
        included.setQuotaSize(-1L);
        included.setQuotaFiles(-1L);
        User user = new User().username("java").password("secret").quotaSize(5L << 40);
        user.setStatus(User.StatusEnum.NUMBER_1);
        user.setPermissions(Map.of("/", List.of("*")));
        user.setVirtualFolders(List.of(included));
        User made = users.addUser(user);
        check(made.getId() > 0 && made.getQuotaSize() == 5L << 40, "made");
        User got = users.getUserByUsername("java");
        check(got.getUsername().equals("java") && got.getVirtualFolders().size() == 1, "got");
        check(quota.startUserQuotaScan("java", null).getMessage().equals("Scan started"), "scan");
        check(quota.getUserUsage("java").getUsedQuotaSize() == 0, "usage");
        check(new ConnectionsApi(bearer).getConnections() != null, "connections");
        check(new MaintenanceApi(bearer).dumpdata(null, "1", null, null).getVersion() == 10, "dump");
        users.deleteUser("java");
        folders.deleteFolder("java-f");
        try {
            users.getUserByUsername("java");
            check(false, "still there");
        } catch (ApiException e) {
            check(e.getCode() == 404, "code");
        }
        System.out.println("story told");
    }
}
